{#- Each received value has exactly one flag. -#}
{% test flags_add_up(model) %}
    select *
    from {{ model }}
    where good + suspect + bad + missing + not_evaluated != received
{% endtest %}
