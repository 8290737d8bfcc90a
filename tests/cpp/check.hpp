// What the C++ tests need of a framework, so that they build wherever the library does.
//   TEST(name) { CHECK(a == b); CHECK_THROWS(std::invalid_argument, "part of the message", f()); }
// The file that defines PETRAIN_TEST_MAIN before including this has main().
#pragma once

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace check {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

inline int failures = 0;

inline bool add(const char* name, void (*run)()) {
  tests().push_back({name, run});
  return true;
}

inline void fail(const char* file, int line, const std::string& what) {
  std::printf("%s:%d: %s\n", file, line, what.c_str());
  ++failures;
}

inline int run_all() {
  for (const Test& test : tests()) {
    const int before = failures;
    try {
      test.run();
    } catch (const std::exception& error) {
      fail(test.name, 0, std::string("unexpected exception: ") + error.what());
    }
    std::printf("%s %s\n", failures == before ? "ok  " : "FAIL", test.name);
  }
  std::printf("%zu tests, %d failed checks\n", tests().size(), failures);
  return failures == 0 && !tests().empty() ? 0 : 1;
}

}  // namespace check

#define TEST(name)                                           \
  static void name();                                        \
  static const bool name##_added = check::add(#name, &name); \
  static void name()

#define CHECK(condition)                                           \
  do {                                                             \
    if (!(condition)) check::fail(__FILE__, __LINE__, #condition); \
  } while (false)

#define CHECK_THROWS(Type, message_part, expression)                                      \
  do {                                                                                    \
    try {                                                                                 \
      (void)(expression);                                                                 \
      check::fail(__FILE__, __LINE__, #expression " did not throw");                      \
    } catch (const Type& error) {                                                         \
      if (std::string(error.what()).find(message_part) == std::string::npos)              \
        check::fail(__FILE__, __LINE__, std::string("the message was: ") + error.what()); \
    }                                                                                     \
  } while (false)

#ifdef PETRAIN_TEST_MAIN
int main() { return check::run_all(); }
#endif
