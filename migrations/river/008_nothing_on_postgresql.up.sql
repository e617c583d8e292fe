-- The version changes SQLite only. It is recorded, so that River's own tools find nothing left to do.

SELECT 1;
