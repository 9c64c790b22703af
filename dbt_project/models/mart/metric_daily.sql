{{ rollup(ref('metric_hourly'), '1 day') }}
