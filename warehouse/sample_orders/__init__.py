"""Sample order events: deterministic, in hourly batches, with a device-retry queue that makes some late and some twice."""
