{#-
    The rows of a mart within the windows that the transaction at hand settles. Where the key begins with the series, each series'
    stretch is read by its key: a plain join could choose to scan every partition.
-#}
{% macro rows_in_windows(relation, at, by_series=true) -%}
    {%- set rows = "select * from " ~ relation ~ " as t where t." ~ at ~ " >= w.start_at and t." ~ at ~ " < w.end_at" -%}
    select t.*
    from {{ source('core', 'settle_window') }} as w
    {%- if by_series %}
    cross join {{ source('core', 'series') }} as s
    cross join lateral ({{ rows }} and t.series_id = s.series_id offset 0) as t
    {%- else %}
    cross join lateral ({{ rows }} offset 0) as t
    {%- endif %}
{%- endmacro %}

{#- What a data test looks at: a whole mart, or with the variable `settle` its rows within the windows. -#}
{% macro get_where_subquery(relation) -%}
    {%- if var('settle') and relation.schema == 'mart' -%}
        {%- set facts = graph.nodes['model.water_pipelines.' ~ relation.identifier].config.meta if execute else {'at': 'at', 'key': ['key']} -%}
        ({{ rows_in_windows(relation, facts.at, facts.key[0] == 'series_id') }}) as mart
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}

{#- The UTC day of a time, as its first instant; date_bin needs no look-up of a time zone. -#}
{% macro day_of(time) -%}
    date_bin('1 day', {{ time }}, '2000-01-01 00:00+00')
{%- endmacro %}

{#- The first instant of a date, in UTC. -#}
{% macro midnight(day) -%}
    {{ day }}::timestamp at time zone 'UTC'
{%- endmacro %}

{#- Evaluations of a series `s` on the days of a window `w`. -#}
{% macro evaluations_in_window() -%}
    select
        e.read,
        e.rule_set_id,
        e.day,
        {{ midnight('e.day') }} as start_at
    from {{ source('core', 'evaluation') }} as e
    where e.series_id = s.series_id and e.day >= (w.start_at at time zone 'UTC')::date and e.day < w.end_at at time zone 'UTC'
    offset 0
{%- endmacro %}

{#- The last tick: clock-dependent columns are as of it. Before the first tick nothing is closed and nothing is expected. -#}
{% macro last_tick() -%}
    select coalesce(max(tick_at), '0001-01-01 00:00+00') as at from {{ source('core', 'tick') }}
{%- endmacro %}

{#-
    How many values a series `s` should have given from one time until another, or until the last tick: those at `anchor` and every
    interval before and after it. Null where the interval is not known.
-#}
{% macro values_expected(from, until, anchor) -%}
    case when s.interval_s is not null then
        greatest(
            0,
            ceil(date_part('epoch', least({{ until }}, tick.at) - {{ anchor }}) / s.interval_s - 1e-9)
            - ceil(date_part('epoch', {{ from }} - {{ anchor }}) / s.interval_s - 1e-9)
        )
    end
{%- endmacro %}
