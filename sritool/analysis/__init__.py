"""Uses of a trained model: samples, interpolation, classification, maps, reports."""
