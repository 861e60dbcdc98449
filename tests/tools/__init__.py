"""helm, promtool, prometheus and kstatus: what tests of the chart, of alerts and of signals need."""
