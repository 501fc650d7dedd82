//! Measures the built binary under closed-loop and open-loop load.
