"""When a failed request or connection is tried again, and when that ends a stream."""
