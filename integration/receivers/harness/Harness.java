import java.nio.charset.StandardCharsets;
import java.util.Base64;

// Lines of words with a space between: scheme, secret, body in base64, then name and value of each header in base64.
class Harness {
    public static void main(String[] args) throws Exception {
        var lines = new java.io.BufferedReader(new java.io.InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null;) {
            String[] q = line.split(" ");
            var headers = new java.util.HashMap<String, String>();
            for (int i = 3; i < q.length; i += 2) {
                headers.put(text(q[i]), text(q[i + 1]));
            }
            byte[] body = Base64.getDecoder().decode(q[2]);
            System.out.println(switch (q[0]) {
                case "standard" -> Verifier.standard(q[1], headers, body);
                case "ed25519" -> Verifier.ed25519(q[1], headers, body);
                case "stripe" -> Verifier.stripe(q[1], headers, body);
                default -> Verifier.github(q[1], headers, body);
            });
        }
    }

    private static String text(String encoded) {
        return new String(Base64.getDecoder().decode(encoded), StandardCharsets.UTF_8);
    }
}
