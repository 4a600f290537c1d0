"""The commands of `worldmodel`, one module for each that does something and one for those that only look."""
