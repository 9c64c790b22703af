{#- m3/s in one unit of flow. The spellings are those of water_pipelines/domain/units.py; a test holds them together. -#}
{% macro cubic_metres_per_second(unit) -%}
    {%- set factors = {
        '1.0': ['m3/s', 'm3s-1', 'm3.s-1', 'cms', 'cumecs'],
        '1.0 / 3600': ['m3/h', 'm3/hr', 'cmh'],
        '1.0 / 86400': ['m3/d', 'm3/day'],
        '0.001': ['l/s', 'lps', 'ls-1'],
        '0.001 / 60': ['l/min'],
        '0.001 / 3600': ['l/h', 'l/hr'],
        '1000.0 / 86400': ['ml/d', 'mld'],
        '0.3048 ^ 3': ['ft3/s', 'cfs', 'cft/s', 'cfti/s'],
        '0.003785411784 / 60': ['gpm', 'gal/min'],
        '3785.411784 / 86400': ['mgd'],
    } -%}
    case {{ normalised(unit) }}
        {%- for factor, names in factors.items() %}{% for name in names %}
        when '{{ name }}' then ({{ factor }})::double precision
        {%- endfor %}{% endfor %}
    end
{%- endmacro %}

{#- One spelling for the many ways in which sources write a unit. -#}
{% macro normalised(unit) -%}
    lower(translate(trim({{ unit }}), '³²^* _[]', '32'))
{%- endmacro %}

{#- Amounts since the last value add up; rates and states do not. -#}
{% macro is_additive(property, unit) -%}
    (
        lower({{ property }}) in (
            'rainfall', 'precipitation', 'rain', 'precipitation_depth', 'rainfall_amount', 'snowfall', 'evaporation', 'evapotranspiration'
        )
        and coalesce({{ normalised(unit) }}, 'mm') in ('mm', 'cm', 'm', 'in', 'inch', 'inches', 'ini', 'ft')
    )
{%- endmacro %}

{#- The quality tests and their bits in core.observation_flag, as in water_pipelines/domain/flags.py; a test holds them together. -#}
{% macro quality_tests() -%}
    {% do return({'gross_range': 1, 'spike': 2, 'rate_of_change': 4, 'flat_line': 8, 'gap': 16}) %}
{%- endmacro %}
