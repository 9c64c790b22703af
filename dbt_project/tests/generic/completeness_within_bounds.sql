{#- Completeness is a share, and known exactly where values were expected. -#}
{% test completeness_within_bounds(model) %}
    select *
    from {{ model }}
    where completeness < 0 or completeness > 1 or (completeness is not null) != (coalesce(expected, 0) > 0)
{% endtest %}
