"""An engine whose log NATS JetStream keeps (docs/growth.md)."""
