{#- A share lies from 0 to 1. -#}
{% test share_within_bounds(model, column_name) %}
    select *
    from {{ model }}
    where {{ column_name }} < 0 or {{ column_name }} > 1
{% endtest %}
