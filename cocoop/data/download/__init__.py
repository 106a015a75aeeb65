"""Downloads and unpacks datasets."""
