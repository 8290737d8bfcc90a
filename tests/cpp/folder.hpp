// A folder for a test's files, so that programs may run side by side.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

// Removed at the end, with the files in it.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/petrain-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("cannot make a folder in /tmp");
    path_ = name;
  }
  ~Folder() {
    for (const std::string& name : names()) {
      if (::unlink((path_ + "/" + name).c_str()) != 0) ::rmdir((path_ + "/" + name).c_str());
    }
    ::rmdir(path_.c_str());
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    DIR* listing = ::opendir(path_.c_str());
    while (const dirent* entry = ::readdir(listing)) {
      if (entry->d_name != std::string(".") && entry->d_name != std::string("..")) found.emplace_back(entry->d_name);
    }
    ::closedir(listing);
    return found;
  }

 private:
  std::string path_;
};
