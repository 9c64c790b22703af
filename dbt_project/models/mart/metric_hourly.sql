{{ rollup(ref('metric_30min'), '1 hour') }}
