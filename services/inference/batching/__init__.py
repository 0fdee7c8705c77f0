"""Joins the rows of many callers into batches, within their deadlines."""
