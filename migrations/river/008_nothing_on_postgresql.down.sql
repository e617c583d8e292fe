-- The version changes SQLite only.

SELECT 1;
