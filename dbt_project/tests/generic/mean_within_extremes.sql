{#- The mean lies between the least and the greatest good value, but for rounding. -#}
{% test mean_within_extremes(model) %}
    select *
    from {{ model }}
    where mean < minimum - 1e-9 * greatest(abs(minimum), abs(maximum)) or mean > maximum + 1e-9 * greatest(abs(minimum), abs(maximum))
{% endtest %}
