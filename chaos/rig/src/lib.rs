//! What chaos and bench both need: spawn a cluster, drive load, histograms, report.
