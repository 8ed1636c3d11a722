database {
  url = env("DATABASE_URL"
} # ERROR "Missing argument separator: A comma is required"
