package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.quant.QuantSettings;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReader;
import java.lang.module.ModuleReference;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * Keeps what users see: the types of the packages that the module descriptors export to all, as {@code exported-types.txt}
 * lists them, and that their signatures name nothing else of the library and nothing of the native binding.
 */
class ExportsTest {
    private static final String LIST = "/exported-types.txt";
    private static final String PROJECT = "dev.finetune4j";
    private static final int MOST_TYPES = 108;

    /** One class of each module, in the order in which they build on each other. */
    private static final List<Class<?>> MODULES =
            List.of(FineTune4jException.class, QuantSettings.class, Dataset.class, FineTuner.class);

    @Test
    void theListIsKept() throws IOException {
        String listed;
        try (InputStream in = ExportsTest.class.getResourceAsStream(LIST)) {
            listed = new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
        String exported = exportedTypes().stream().map(Class::getName).collect(Collectors.joining("\n", "", "\n"));
        assertEquals(
                listed, exported, "what is exported to all; if that is meant, write it into src/test/resources" + LIST);
    }

    @Test
    void usersSeeFewTypes() {
        long types = exportedTypes().stream()
                .filter(type -> type.getEnclosingClass() == null)
                .count();
        assertTrue(types <= MOST_TYPES, types + " types are exported to all; " + MOST_TYPES + " is the most");
    }

    @Test
    void theirSignaturesNameOnlyWhatIsExported() {
        Set<String> exported = exportedTypes().stream().map(Class::getName).collect(Collectors.toSet());
        List<String> leaks = new ArrayList<>();
        for (Class<?> type : exportedTypes()) {
            signature(type).forEach(named -> {
                for (Class<?> used : classes(named.type())) {
                    boolean hidden = used.getName().startsWith(PROJECT) && !exported.contains(used.getName());
                    if (hidden || used.getName().startsWith("org.bytedeco")) {
                        leaks.add(type.getName() + ": " + named.where() + " shows " + used.getName());
                    }
                }
            });
        }
        assertEquals(List.of(), leaks);
    }

    @Test
    void theRestIsExportedToOurOwnModulesOnly() {
        Set<String> own = descriptors().stream().map(ModuleDescriptor::name).collect(Collectors.toSet());
        for (ModuleDescriptor descriptor : descriptors()) {
            Stream.concat(
                            descriptor.exports().stream().map(ModuleDescriptor.Exports::targets),
                            descriptor.opens().stream().map(ModuleDescriptor.Opens::targets))
                    .forEach(targets ->
                            assertTrue(own.containsAll(targets), descriptor.name() + " exports to " + targets));
        }
    }

    private record Use(String where, Type type) {}

    private static Stream<Use> signature(Class<?> type) {
        Stream<Use> above = Stream.concat(
                Stream.ofNullable(type.getGenericSuperclass()).map(it -> new Use("extends", it)),
                Arrays.stream(type.getGenericInterfaces()).map(it -> new Use("implements", it)));
        Stream<Use> parameters = bounds(type.getTypeParameters()).map(it -> new Use("type parameter", it));
        Stream<Use> fields = Arrays.stream(type.getDeclaredFields())
                .filter(field -> isVisible(field.getModifiers()))
                .map((Field field) -> new Use(field.getName(), field.getGenericType()));
        Stream<Use> constructors = Arrays.stream(type.getDeclaredConstructors())
                .filter(constructor -> isVisible(constructor.getModifiers()))
                .flatMap((Constructor<?> constructor) -> uses(constructor));
        Stream<Use> methods = Arrays.stream(type.getDeclaredMethods())
                .filter(method -> isVisible(method.getModifiers()) && !method.isSynthetic())
                .flatMap((Method method) -> Stream.concat(
                        uses(method), Stream.of(new Use(method.getName(), method.getGenericReturnType()))));
        return Stream.of(above, parameters, fields, constructors, methods).flatMap(it -> it);
    }

    private static Stream<Use> uses(Executable executable) {
        return Stream.of(
                        Arrays.stream(executable.getGenericParameterTypes()),
                        Arrays.stream(executable.getGenericExceptionTypes()),
                        bounds(executable.getTypeParameters()))
                .flatMap(it -> it)
                .map(it -> new Use(executable.getName(), it));
    }

    private static Stream<Type> bounds(TypeVariable<?>[] parameters) {
        return Arrays.stream(parameters).flatMap(parameter -> Arrays.stream(parameter.getBounds()));
    }

    private static boolean isVisible(int modifiers) {
        return Modifier.isPublic(modifiers) || Modifier.isProtected(modifiers);
    }

    /** The classes that a type names, those of its arguments included. */
    private static List<Class<?>> classes(Type type) {
        if (type instanceof Class<?> plain) {
            return plain.isArray() ? classes(plain.getComponentType()) : List.of(plain);
        }
        Stream<Type> parts = Stream.of();
        if (type instanceof ParameterizedType parameterized) {
            parts = Stream.concat(
                    Stream.of(parameterized.getRawType()), Arrays.stream(parameterized.getActualTypeArguments()));
        } else if (type instanceof GenericArrayType array) {
            parts = Stream.of(array.getGenericComponentType());
        } else if (type instanceof WildcardType wildcard) {
            parts = Stream.concat(Arrays.stream(wildcard.getUpperBounds()), Arrays.stream(wildcard.getLowerBounds()));
        }
        return parts.flatMap(part -> classes(part).stream()).toList();
    }

    /** The visible types of the packages that are exported to all, nested ones included, sorted by name. */
    private static List<Class<?>> exportedTypes() {
        Set<String> names = new TreeSet<>();
        for (ModuleReference module : modules()) {
            Set<String> packages = module.descriptor().exports().stream()
                    .filter(export -> !export.isQualified())
                    .map(ModuleDescriptor.Exports::source)
                    .collect(Collectors.toSet());
            try (ModuleReader reader = module.open()) {
                reader.list()
                        .filter(file -> file.endsWith(".class") && file.contains("/"))
                        .map(file -> file.substring(0, file.length() - ".class".length())
                                .replace('/', '.'))
                        .filter(name -> packages.contains(name.substring(0, name.lastIndexOf('.'))))
                        .forEach(names::add);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        List<Class<?>> visible = new ArrayList<>();
        for (String name : names) {
            Class<?> type = load(name);
            if (isVisibleWithAllAround(type)) {
                visible.add(type);
            }
        }
        assertTrue(visible.contains(FineTuner.class), "the facade is exported: " + visible);
        return visible;
    }

    private static boolean isVisibleWithAllAround(Class<?> type) {
        Class<?> around = type.getEnclosingClass();
        return isVisible(type.getModifiers())
                && !type.isAnonymousClass()
                && !type.isLocalClass()
                && (around == null || isVisibleWithAllAround(around));
    }

    private static Class<?> load(String name) {
        try {
            return Class.forName(name, false, ExportsTest.class.getClassLoader());
        } catch (ClassNotFoundException e) {
            throw new AssertionError(e);
        }
    }

    private static List<ModuleDescriptor> descriptors() {
        return modules().stream().map(ModuleReference::descriptor).toList();
    }

    private static List<ModuleReference> modules() {
        return MODULES.stream().map(ExportsTest::module).toList();
    }

    private static ModuleReference module(Class<?> of) {
        try {
            Path place = Path.of(
                    of.getProtectionDomain().getCodeSource().getLocation().toURI());
            ModuleReference module = ModuleFinder.of(place).findAll().iterator().next();
            assertTrue(!module.descriptor().isAutomatic(), place + " has no module-info.class");
            return module;
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }
}
