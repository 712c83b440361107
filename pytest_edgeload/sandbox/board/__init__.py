"""The board's own sensors: energy, power, heat, frequency and throttling. A sensor that is missing has no metrics."""
