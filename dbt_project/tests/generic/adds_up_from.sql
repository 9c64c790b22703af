{#- A bucket has received as many values, and as many good ones, as the finer buckets within it. -#}
{% test adds_up_from(model, finer, bucket) %}
    with whole as (
        select * from {{ model }}
    ),

    part as (
        select
            series_id,
            date_bin('{{ bucket }}', start_at, '2000-01-01 00:00+00') as start_at,
            sum(received) as received,
            sum(count) as count
        from {{ get_where_subquery(finer) }}
        group by 1, 2
    )

    select
        coalesce(whole.series_id, part.series_id) as series_id,
        coalesce(whole.start_at, part.start_at) as start_at,
        whole.received,
        whole.count,
        part.received as received_by_parts,
        part.count as count_by_parts
    from whole
    full join part on part.series_id = whole.series_id and part.start_at = whole.start_at
    where (whole.received, whole.count) is distinct from (part.received, part.count)
{% endtest %}
