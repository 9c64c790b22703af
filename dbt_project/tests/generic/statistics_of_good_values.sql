{#- No more values are good than were received, and there are statistics exactly where there are good values. -#}
{% test statistics_of_good_values(model) %}
    select *
    from {{ model }}
    where count > received or (count > 0) != (mean is not null) or (count > 0) != (standard_deviation is not null)
{% endtest %}
