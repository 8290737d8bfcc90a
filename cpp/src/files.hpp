// Files through the operating system, so that every failure has its error number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace petrain {

// Closes what it holds; a negative number is none.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }

 private:
  int number_;
};

// A regular file, read from its start. Folders, pipes and devices are refused. Throws IoError.
class InputFile {
 public:
  explicit InputFile(const std::string& path);

  std::uint64_t size() const { return size_; }  // when it was opened
  // The next bytes; Error where the file ends before.
  void read(std::byte* to, std::size_t bytes);

 private:
  std::string path_;
  Descriptor file_;
  std::uint64_t size_ = 0;
};

// Writes the pieces, one after another, to a file that takes the place of the one at this path at once: temporary
// name in the same folder, sync, rename, sync of the folder. On failure (IoError) the temporary file is removed and
// the old file is as it was; only where the last step fails, the sync of the folder, the new file is in its place. An
// old file's permissions are kept.
void replace_file(const std::string& path, std::span<const std::span<const std::byte>> pieces);

}  // namespace petrain
