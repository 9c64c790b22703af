{#- What is known of the values of a half-hour: moments and extremes of `good`, which is null unless the value is good, and counts by `flag`. -#}
{% macro statistics() -%}
    nullif((mart.moments(good order by time))[1], 0) as good,
    (mart.moments(good order by time))[2] as total,
    (mart.moments(good order by time))[3] as squared_deviations,
    min(good) as minimum,
    max(good) as maximum,
    count(*)::double precision as received,
    count(*) filter (where flag = 3) as suspect,
    count(*) filter (where flag = 4) as bad,
    count(*) filter (where flag = 9) as missing,
    count(*) filter (where flag = 2) as not_evaluated
{%- endmacro %}

{% macro statistics_columns() -%}
    {% do return(['good', 'total', 'squared_deviations', 'minimum', 'maximum', 'received', 'suspect', 'bad', 'missing', 'not_evaluated']) %}
{%- endmacro %}
