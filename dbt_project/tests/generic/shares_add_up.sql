{#- Each received value has exactly one flag. -#}
{% test shares_add_up(model) %}
    select *
    from {{ model }}
    where received > 0 and abs(good_share + suspect_share + bad_share + missing_share + not_evaluated_share - 1) > 1e-9
{% endtest %}
