"""EgoPAT3D: its ranges of reaching, and the landmarks of its hands."""
