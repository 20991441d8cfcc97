//===- File.cpp - tests of files ------------------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   lathe-rt-file-test DIR   works in the empty folder DIR
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/File.h"
#include "Check.h"

#include <cstring>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lathe::rt;

static int filesIn(const std::string &folder) {
  DIR *dir = opendir(folder.c_str());
  CHECK(dir);
  int count = 0;
  while (readdir(dir))
    ++count;
  closedir(dir);
  return count - 2;
}

static void testReplace(const std::string &folder) {
  std::string path = folder + "/file";
  checkOk(writeFile(path, "old"));
  auto mapped = take(MappedFile::open(path));
  {
    // What is not committed leaves nothing.
    auto file = take(AtomicFile::create(path));
    checkOk(file->write("half", 4));
    CHECK(take(readFile(path, 100)) == "old");
    CHECK(filesIn(folder) == 2);
  }
  CHECK(filesIn(folder) == 1);
  auto file = take(AtomicFile::create(path));
  checkOk(file->write("new text", 8));
  checkOk(file->writeAt(0, "N", 1));
  CHECK(file->size() == 8);
  checkOk(file->commit());
  CHECK(take(readFile(path, 100)) == "New text");
  // A reader keeps what it had.
  CHECK(mapped->size() == 3 && std::memcmp(mapped->data(), "old", 3) == 0);
  checkFails(readFile(path, 7), "is larger than 7 bytes");
}

static void testOdd(const std::string &folder) {
  checkFails(AtomicFile::create(folder), "is a folder, not a file");
  checkFails(MappedFile::open(folder), "is a folder, not a file");
  checkFails(AtomicFile::create(folder + "/none/file"), "No such file");
  checkFails(MappedFile::open("/dev/null"), "is not a regular file");
  // A device is written, not replaced.
  checkOk(writeFile("/dev/null", "text"));
  struct stat info;
  CHECK(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
  // A FIFO without a writer is refused at once.
  std::string fifo = folder + "/fifo";
  CHECK(mkfifo(fifo.c_str(), 0600) == 0);
  checkFails(readFile(fifo, 10), "is not a regular file");
  // A link is replaced; what it points to stays.
  std::string target = folder + "/target", link = folder + "/link";
  checkOk(writeFile(target, "target"));
  CHECK(symlink(target.c_str(), link.c_str()) == 0);
  checkOk(writeFile(link, "link"));
  CHECK(take(readFile(target, 100)) == "target");
  CHECK(take(readFile(link, 100)) == "link");
  // A full disk.
  if (access("/dev/full", W_OK) == 0)
    checkFails(writeFile("/dev/full", "text"), "No space left");
  checkOk(writeFile(folder + "/empty", ""));
  CHECK(take(MappedFile::open(folder + "/empty"))->size() == 0);
  CHECK(isFolder(folder) && !isFolder(target) && !isFolder(folder + "/none"));
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  testReplace(argv[1]);
  testOdd(argv[1]);
  return 0;
}
