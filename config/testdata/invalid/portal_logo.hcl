database { url = env("DATABASE_URL") }
api { listen = "127.0.0.1:0" }
panel {
  portal {
    logo  = "portal_logo.hcl" # ERROR "Unreadable logo: Use an SVG, PNG, JPEG or WebP picture"
    color = "blue"            # ERROR "Invalid colour"
  }
}
