import io.socket.client.IO;
import io.socket.client.Manager;
import io.socket.client.Socket;
import java.net.URI;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.util.Collections;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;
import okhttp3.OkHttpClient;
import org.json.JSONObject;

/** The stock Java client. Arguments: URL, transport, token. Prints a JSON object for whatever happens to it. */
public class Client {
    public static void main(String[] arguments) throws Exception {
        IO.Options options = new IO.Options();
        options.transports = new String[] {arguments[1]};
        options.auth = Collections.singletonMap("token", arguments[2]);
        options.reconnectionDelay = 100;
        options.reconnectionDelayMax = 500;
        if (arguments[0].startsWith("https")) {
            OkHttpClient client = trusting();
            options.callFactory = client;
            options.webSocketFactory = client;
        }
        Socket socket = IO.socket(URI.create(arguments[0]), options);
        socket.on(Socket.EVENT_CONNECT, ignored -> say("connect", "sid", socket.id()));
        socket.on(Socket.EVENT_DISCONNECT, reason -> say("disconnect", "reason", reason[0]));
        socket.on(Socket.EVENT_CONNECT_ERROR, error -> say("connect_error", "error", String.valueOf(error[0])));
        socket.on("notification", news -> say("notification", "title", title(news[0])));
        socket.io().on(Manager.EVENT_RECONNECT_ATTEMPT, number -> say("attempt", "number", number[0]));
        socket.connect();
        while (System.in.read() >= 0) {
            // until whoever has started this closes its standard input
        }
        System.exit(0);
    }

    private static Object title(Object news) {
        return ((JSONObject) news).opt("title");
    }

    private static synchronized void say(String type, String name, Object value) {
        try {
            System.out.println(new JSONObject().put("type", type).put(name, value));
        } catch (org.json.JSONException error) {
            throw new IllegalStateException(error);
        }
        System.out.flush();
    }

    /** A client that trusts anybody: the certificate in the tests is nobody's. */
    private static OkHttpClient trusting() throws Exception {
        X509TrustManager anybody =
                new X509TrustManager() {
                    @Override
                    public void checkClientTrusted(X509Certificate[] chain, String type) {}

                    @Override
                    public void checkServerTrusted(X509Certificate[] chain, String type) {}

                    @Override
                    public X509Certificate[] getAcceptedIssuers() {
                        return new X509Certificate[0];
                    }
                };
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {anybody}, new SecureRandom());
        return new OkHttpClient.Builder()
                .sslSocketFactory(context.getSocketFactory(), anybody)
                .hostnameVerifier((host, session) -> true)
                .build();
    }
}
