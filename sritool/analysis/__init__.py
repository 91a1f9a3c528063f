"""What is done with a trained model: samples, interpolation, classification, maps, reports."""
