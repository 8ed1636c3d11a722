
require "json"

$stdin.each_line do |line|
  q = JSON.parse(line)
  genuine = send("verify_#{q["scheme"]}", q["secret"], q["headers"], Base64.decode64(q["body"]))
  puts(genuine == true)
end
