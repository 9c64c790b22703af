{#- The summary of a quality rule: on a day, no more than a share of a series' values fail it. -#}
{% test few_failed(model, column_name, share) %}
    select
        series_id,
        day,
        {{ column_name }},
        received,
        {{ column_name }}::double precision / received as share
    from {{ model }}
    where {{ column_name }} > {{ share }} * received
{% endtest %}
