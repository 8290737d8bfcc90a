#include "files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "petrain/error.hpp"
#include "quote.hpp"

namespace petrain {
namespace {

[[noreturn]] void fail(const std::string& doing, const std::string& path, int number) {
  throw IoError("cannot " + doing + " " + quote_path(path) + ": " + std::system_category().message(number), number);
}

void refuse_null_bytes(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    throw std::invalid_argument("path: expected no null byte, got one in " + quote_path(path));
  }
}

// A new file in the folder, removed again unless it gets another name.
class TemporaryFile {
 public:
  TemporaryFile(int folder, mode_t mode, std::string path) : folder_(folder), path_(std::move(path)) {
    static std::atomic<unsigned> counter{0};
    for (int attempt = 0; attempt < 1000 && number_ < 0; ++attempt) {
      name_ = ".petrain-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
      number_ = ::openat(folder_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
      if (number_ < 0 && errno != EEXIST && errno != EINTR) break;
    }
    if (number_ < 0) fail("create a file beside", path_, errno);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (number_ >= 0) ::close(number_);
    if (!renamed_) ::unlinkat(folder_, name_.c_str(), 0);
  }

  void set_mode(mode_t mode) {
    if (::fchmod(number_, mode) != 0) fail("set the permissions of", path_, errno);
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(number_, bytes.data(), std::min<std::size_t>(bytes.size(), 1 << 30));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write", path_, errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void rename_to(const std::string& name) {
    if (::fsync(number_) != 0) fail("sync", path_, errno);
    const int number = number_;
    number_ = -1;
    if (::close(number) != 0 && errno != EINTR) fail("close", path_, errno);
    if (::renameat(folder_, name_.c_str(), folder_, name.c_str()) != 0) fail("replace", path_, errno);
    renamed_ = true;
  }

 private:
  int folder_;
  std::string path_, name_;
  int number_ = -1;
  bool renamed_ = false;
};

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

InputFile::InputFile(const std::string& path)
    : path_(path), file_((refuse_null_bytes(path), ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK))) {
  // O_NONBLOCK: opening a pipe would wait for its writer; for a regular file it means nothing.
  if (!file_.is_open()) fail("open", path_, errno);
  struct stat facts;
  if (::fstat(file_.number(), &facts) != 0) fail("open", path_, errno);
  if (S_ISDIR(facts.st_mode)) fail("read", path_, EISDIR);
  if (!S_ISREG(facts.st_mode))
    throw IoError("expected a regular file, got a pipe or device: " + quote_path(path_), EINVAL);
  size_ = static_cast<std::uint64_t>(facts.st_size);
}

void InputFile::read(std::byte* to, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = ::read(file_.number(), to, std::min<std::size_t>(bytes, 1 << 30));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path_, errno);
    if (got == 0) throw Error("expected " + std::to_string(bytes) + " more bytes: the file has become shorter");
    to += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

void replace_file(const std::string& path, std::span<const std::span<const std::byte>> pieces) {
  refuse_null_bytes(path);
  const std::size_t slash = path.rfind('/');
  const std::string folder_name = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty()) fail("write", path, path.empty() ? ENOENT : EISDIR);

  // All names below are relative to this folder: it stays the same one even if somebody moves it meanwhile.
  const Descriptor folder(::open(folder_name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) fail("write", path, errno);
  struct stat old;
  const bool exists = ::fstatat(folder.number(), name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (!exists && errno != ENOENT) fail("write", path, errno);
  if (exists && S_ISDIR(old.st_mode)) fail("write", path, EISDIR);
  if (exists && !S_ISREG(old.st_mode) && !S_ISLNK(old.st_mode)) {
    // The rename would put a file in the place of, say, /dev/null.
    throw IoError("expected a regular file to replace, got a pipe or device: " + quote_path(path), EINVAL);
  }
  const bool keeps_mode = exists && S_ISREG(old.st_mode);

  TemporaryFile file(folder.number(), keeps_mode ? old.st_mode & 0777 : 0666, path);
  if (keeps_mode) file.set_mode(old.st_mode & 0777);
  for (const std::span<const std::byte> piece : pieces) file.write(piece);
  file.rename_to(name);
  // Without this a power cut may bring the old file back. Some file systems cannot sync a folder; they say EINVAL.
  if (::fsync(folder.number()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    throw IoError(
        "wrote " + quote_path(path) + ", but cannot sync its folder: " + std::system_category().message(errno), errno);
  }
}

}  // namespace petrain
