// Safetensors files through the C++ interface: round trips, and what happens where writing fails or is cut short.
// The table of hostile files is in tests/test_safetensors.py, any bytes at all in tests/fuzz.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "check.hpp"
#include "folder.hpp"
#include "petrain/error.hpp"
#include "petrain/safetensors.hpp"

using namespace petrain;

namespace {

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

SafetensorsFile parse(const std::string& bytes) { return parse_safetensors(std::as_bytes(std::span(bytes))); }

Tensor filled(DType dtype, Shape shape) {
  Tensor tensor(dtype, std::move(shape));
  auto* bytes = tensor.as<unsigned char>();
  for (std::size_t i = 0; i < tensor.nbytes(); ++i) bytes[i] = static_cast<unsigned char>(37 * i + 11);
  return tensor;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.nbytes() == 0 || std::memcmp(a.as<char>(), b.as<char>(), a.nbytes()) == 0);
}

std::map<std::string, Tensor> one_of_each() {
  std::map<std::string, Tensor> tensors;
  tensors.emplace("weight", filled(DType::f32, {3, 5}));
  tensors.emplace("a", filled(DType::f64, {}));
  tensors.emplace("codes", filled(DType::i8, {7}));
  tensors.emplace("Größe \"1\"\n", filled(DType::u8, {1, 2, 3}));
  tensors.emplace("counts", filled(DType::i32, {2, 0, 4}));
  tensors.emplace("", filled(DType::i64, {1}));
  return tensors;
}

void write(const std::string& path, const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, ConstTensorView> views;
  for (const auto& [name, tensor] : tensors) views.emplace(name, tensor.view());
  write_safetensors(path, {{"format", "petrain"}, {"note", "Prüfung\t1"}}, views);
}

template <class Function>
int error_number(Function&& function) {
  try {
    function();
  } catch (const IoError& error) {
    return error.code;
  }
  return 0;
}

}  // namespace

TEST(what_was_written_is_read) {
  const Folder folder;
  const auto tensors = one_of_each();
  write(folder / "m", tensors);
  const SafetensorsFile file = read_safetensors(folder / "m");
  CHECK(file.metadata.size() == 2 && file.metadata.at("note") == "Prüfung\t1");
  CHECK(file.tensors.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) CHECK(same(file.tensors.at(name), tensor));
  CHECK(folder.names() == std::vector<std::string>{"m"});

  const SafetensorsFile again = parse(bytes_of(folder / "m"));
  for (const auto& [name, tensor] : tensors) CHECK(same(again.tensors.at(name), tensor));
}

TEST(the_bytes_are_those_of_the_format) {
  const Folder folder;
  const Tensor codes = filled(DType::i8, {3}), scale = filled(DType::f32, {1});
  write_safetensors(folder / "m", {}, {{"codes", codes.view()}, {"scale", scale.view()}});
  std::string expected =
      R"({"scale":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"codes":{"dtype":"I8","shape":[3],"data_offsets":[4,7]}})";
  expected.resize((expected.size() + 7) / 8 * 8, ' ');
  expected.insert(0, std::string(1, static_cast<char>(expected.size())) + std::string(7, '\0'));
  expected +=
      "\x0b\x30\x55\x7a"
      "\x0b\x30\x55";
  CHECK(bytes_of(folder / "m") == expected);
}

TEST(every_cut_of_a_file_is_refused) {
  const Folder folder;
  write(folder / "m", one_of_each());
  const std::string whole = bytes_of(folder / "m");
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_THROWS(Error, "expected", parse(whole.substr(0, size)));
  CHECK_THROWS(Error, "bytes of data, as the header says, got", parse(whole + "x"));
}

TEST(what_cannot_be_stored_is_refused_before_anything_is_written) {
  const Folder folder;
  const Tensor tensor = filled(DType::f32, {2});
  const auto save = [&](const std::string& name, const ConstTensorView& view) {
    write_safetensors(folder / "m", {}, {{name, view}});
  };
  CHECK_THROWS(std::invalid_argument, "reserved", save("__metadata__", tensor.view()));
  CHECK_THROWS(std::invalid_argument, "tensor name: expected UTF-8", save("\xff", tensor.view()));
  CHECK_THROWS(std::invalid_argument, "at most 32 dimensions, got 33", save("w", {nullptr, DType::f32, Shape(33, 1)}));
  CHECK_THROWS(std::invalid_argument, "expected data, got none", save("w", {nullptr, DType::f32, {2}}));
  CHECK_THROWS(std::invalid_argument, "negative extent", save("w", {nullptr, DType::f32, {-2}}));
  CHECK_THROWS(std::invalid_argument, "metadata \"k\": expected UTF-8",
               write_safetensors(folder / "m", {{"k", "\xc0"}}, {}));
  CHECK_THROWS(std::invalid_argument, "no null byte", write_safetensors(folder / std::string("a\0b", 3), {}, {}));
  CHECK(folder.names().empty());
}

TEST(a_place_that_cannot_be_written_is_an_io_error) {
  const Folder folder;
  write_safetensors(folder / "file", {}, {});
  CHECK(::mkdir((folder / "dir").c_str(), 0700) == 0);
  CHECK(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  const auto code = [&](const std::string& name) {
    return error_number([&] { write_safetensors(folder / name, {}, {}); });
  };
  CHECK(code("absent/m") == ENOENT);
  CHECK(code("file/m") == ENOTDIR);
  CHECK(code("dir") == EISDIR);
  CHECK(code("") == EISDIR);
  CHECK(code("pipe") == EINVAL);
  CHECK(code(std::string(300, 'n')) == ENAMETOOLONG);
  CHECK(error_number([] { write_safetensors("", {}, {}); }) == ENOENT);
  CHECK(folder.names().size() == 3);
}

TEST(a_file_that_cannot_be_read_is_an_io_error) {
  const Folder folder;
  CHECK(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(error_number([&] { read_safetensors(folder / "absent"); }) == ENOENT);
  CHECK(error_number([&] { read_safetensors(folder / "."); }) == EISDIR);
  CHECK(error_number([&] { read_safetensors(folder / "pipe"); }) == EINVAL);
  CHECK(error_number([] { read_safetensors("/dev/zero"); }) == EINVAL);
}

TEST(an_old_file_keeps_its_permissions_and_a_link_is_replaced) {
  const Folder folder;
  write_safetensors(folder / "m", {}, {});
  CHECK(::chmod((folder / "m").c_str(), 0640) == 0);
  CHECK(::symlink("m", (folder / "link").c_str()) == 0);
  const std::string before = bytes_of(folder / "m");
  write(folder / "link", one_of_each());
  CHECK(bytes_of(folder / "m") == before);
  write(folder / "m", one_of_each());
  struct stat facts;
  CHECK(::stat((folder / "m").c_str(), &facts) == 0 && (facts.st_mode & 0777) == 0640);
  CHECK(bytes_of(folder / "m") == bytes_of(folder / "link"));
}

// The system stops a write in the middle, at a limit on the size of files: with an error where the signal is
// ignored, with the death of the process where it is not.
TEST(a_write_that_fails_half_way_leaves_the_old_file_alone) {
  for (const bool killed : {false, true}) {
    const Folder folder;
    write(folder / "m", one_of_each());
    const std::string before = bytes_of(folder / "m");
    const pid_t child = ::fork();
    if (child == 0) {
      const rlimit small = {100000, 100000}, none = {0, 0};
      ::setrlimit(RLIMIT_CORE, &none);
      ::setrlimit(RLIMIT_FSIZE, &small);
      std::signal(SIGXFSZ, killed ? SIG_DFL : SIG_IGN);
      const Tensor large = filled(DType::f32, {100, 1000});
      const int code = error_number([&] { write_safetensors(folder / "m", {}, {{"w", large.view()}}); });
      ::_exit(code == EFBIG ? 0 : 1);
    }
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    if (killed) {
      CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
    } else {
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
      CHECK(folder.names() == std::vector<std::string>{"m"});
    }
    CHECK(bytes_of(folder / "m") == before);
  }
}
