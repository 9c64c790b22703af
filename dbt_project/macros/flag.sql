{#-
    The flag that is served of a value `o`, given its row `f` of core.observation_flag and its day's row `e` of core.evaluation, if any.
    It is `FLAG` of water_pipelines/storage/observations.py; a test holds them together.
-#}
{% macro served_flag() -%}
coalesce(
    f.flag,
    case
        when o.value = 'NaN' then 9
        when (select l.change from {{ source('raw', 'load') }} as l where l.load_id = o.load_id) <= e.read then 1
        else 2
    end
)
{%- endmacro %}
