"""helm and promtool: what the tests of the chart and of the alerts need."""
