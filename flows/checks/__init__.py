"""Is the data fit? Great Expectations suites over the clip manifest and over columns computed from decoded clips."""
