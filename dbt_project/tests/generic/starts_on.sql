{#- A bucket starts on a multiple of its length, in UTC. -#}
{% test starts_on(model, bucket) %}
    select *
    from {{ model }}
    where start_at != date_bin('{{ bucket }}', start_at, '2000-01-01 00:00+00')
{% endtest %}
