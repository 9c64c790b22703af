{#- Relations are written without the database's name, so that what is compiled holds in a copy of the database too. -#}

{% macro ref() %}
    {% do return(builtins.ref(*varargs, **kwargs).include(database=false)) %}
{% endmacro %}

{% macro source() %}
    {% do return(builtins.source(*varargs).include(database=false)) %}
{% endmacro %}
