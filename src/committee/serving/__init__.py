"""The HTTP and gRPC server of models."""
