"""The only room that speaks to the database: engine, tables, migrations."""
