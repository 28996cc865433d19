// Java's mqadmin, many commands in one machine: a line of standard input is a command, its words separated by tabs, and
// what it printed comes back behind a line with its length in bytes. A first word `lines=N` ends the command by an
// interrupt once it has printed N lines: for those that repeat themselves for ever. `ask METHOD ARGUMENT... -n SERVERS`
// calls a method of DefaultMQAdminExt, as consoles do, and prints what it returns in JSON.
// Run by java as a source file, with the libraries of a server: tests/interop/tools.
import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.serializer.SerializerFeature;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.security.Permission;
import java.util.Arrays;
import java.util.List;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;

public final class Admin {
    static final long PATIENCE_MS = 30_000;

    public static void main(String[] none) throws Exception {
        PrintStream answers = System.out;
        System.setSecurityManager(new SecurityManager() {
            @Override public void checkExit(int code) {
                throw new SecurityException("exit " + code); // a command that means nothing ends itself, not the others
            }
            @Override public void checkPermission(Permission permission) {
            }
        });
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ByteArrayOutputStream printed = new ByteArrayOutputStream();
            PrintStream capture = new PrintStream(printed, true, "UTF-8");
            System.setOut(capture);
            run(line.split("\t"), printed);
            capture.flush();
            byte[] bytes = printed.toByteArray();
            answers.println(bytes.length);
            answers.write(bytes);
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    static void ask(String[] words) throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt();
        admin.setInstanceName("ask-" + System.nanoTime());
        admin.setNamesrvAddr(words[words.length - 1]);
        String[] given = Arrays.copyOfRange(words, 2, words.length - 2);
        admin.start();
        try {
            for (Method method : DefaultMQAdminExt.class.getMethods()) {
                Class<?>[] types = method.getParameterTypes();
                if (!method.getName().equals(words[1]) || types.length != given.length) {
                    continue;
                }
                Object[] arguments = new Object[given.length];
                for (int i = 0; i < given.length; i++) {
                    arguments[i] = types[i] == int.class ? (Object) Integer.valueOf(given[i])
                        : types[i] == long.class ? (Object) Long.valueOf(given[i])
                        : types[i] == boolean.class ? (Object) Boolean.valueOf(given[i]) : given[i];
                }
                Object result = method.invoke(admin, arguments);
                System.out.println(JSON.toJSONString(result, SerializerFeature.PrettyFormat, SerializerFeature.SortField));
                return;
            }
            throw new NoSuchMethodException(words[1]);
        } finally {
            admin.shutdown();
        }
    }

    // The end of a client joins a thread that looks up every three seconds: it is woken.
    static void hurry(Thread command) {
        for (StackTraceElement frame : command.getStackTrace()) {
            if (frame.getClassName().endsWith(".ServiceThread") && frame.getMethodName().equals("shutdown")) {
                for (Thread thread : Thread.getAllStackTraces().keySet()) {
                    if (thread.getName().contains("NettyEventExecutor")) {
                        thread.interrupt();
                    }
                }
            }
        }
    }

    static void run(String[] words, ByteArrayOutputStream printed) throws Exception {
        int least = words[0].startsWith("lines=") ? Integer.parseInt(words[0].substring(6)) : 0;
        String[] command = least > 0 ? Arrays.copyOfRange(words, 1, words.length) : words;
        // Commands keep what they were told before in themselves: new ones for every call, as a new process has.
        for (Field field : MQAdminStartup.class.getDeclaredFields()) {
            if (List.class.isAssignableFrom(field.getType())) {
                field.setAccessible(true);
                ((List<?>) field.get(null)).clear();
            }
        }
        Thread thread = new Thread(() -> {
            try {
                if (command[0].equals("ask")) {
                    ask(command);
                } else {
                    MQAdminStartup.main(command);
                }
            } catch (InvocationTargetException failure) {
                System.out.println(failure.getCause().getMessage());
            } catch (Throwable failure) {
                failure.printStackTrace();
            }
        });
        thread.start();
        long until = System.currentTimeMillis() + PATIENCE_MS;
        while (thread.isAlive() && System.currentTimeMillis() < until) {
            thread.join(10);
            hurry(thread);
            if (least > 0 && printed.toString("UTF-8").chars().filter(letter -> letter == '\n').count() >= least) {
                break;
            }
        }
        if (thread.isAlive()) {
            thread.stop(); // some go on after an interrupt
        }
        thread.join(PATIENCE_MS);
    }
}
