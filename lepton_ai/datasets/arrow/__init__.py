"""What programs, libraries and files hold as columns of Arrow, of the types that data sets compute with."""
