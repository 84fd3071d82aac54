\echo Use "ALTER EXTENSION durable_work UPDATE" to load this file. \quit

-- From 0.1.0 to 0.2.0.

-- include 05_library.sql
