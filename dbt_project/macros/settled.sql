{#-
    A mart is a table that migrations make and settle writes. What dbt makes of a model is the view `<name>_derived`: the rows that
    the table should have within the windows of `core.settle_window`, as the transaction at hand sees it.
-#}
{% materialization settled, adapter='postgres' %}
    {%- set table = this.incorporate(type='table') -%}
    {%- set view = this.incorporate(path={'identifier': this.identifier ~ '_derived'}, type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {{ hold_against_contract(table) }}
    {{ drop_relation_if_exists(view) }}
    {% call statement('main') -%}
        {{ get_create_view_as_sql(view.include(database=false), sql) }}
    {%- endcall %}
    {% do persist_docs(table, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [table]}) }}
{% endmaterialization %}

{#- The table has the columns of the contract, in their types, and `since`; a migration and a model that differ must not meet in production. -#}
{% macro hold_against_contract(table) %}
    {%- set stored = [] -%}
    {%- for column in adapter.get_columns_in_relation(table) if column.name != 'since' -%}
        {%- do stored.append(column.name ~ ' ' ~ column.dtype) -%}
    {%- endfor -%}
    {%- set promised = [] -%}
    {%- for column in model.columns.values() -%}
        {%- do promised.append(column.name ~ ' ' ~ column.data_type) -%}
    {%- endfor -%}
    {%- if stored | sort != promised | sort -%}
        {%- do exceptions.raise_compiler_error(
            table ~ " has the columns " ~ (stored | sort | join(', ')) ~ ", but its model promises " ~ (promised | sort | join(', '))
            ~ ". Write a migration that changes the table and its twin in the schema history, or change the model's YAML."
        ) -%}
    {%- endif -%}
{% endmacro %}
