"""Where file contents are kept: blobs on a disk, uploads on their way to it, and the check of what is there."""
