// What a code generator calls by itself, for programs without a C library.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "EmitObject.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"

using namespace llvm;

namespace nibble {
namespace cpu {
namespace {

constexpr StringLiteral kBuiltins = R"(
define hidden ptr @memcpy(ptr noalias returned %to, ptr noalias %from, i64 %n) #0 {
entry:
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %src = getelementptr i8, ptr %from, i64 %i
  %dst = getelementptr i8, ptr %to, i64 %i
  %byte = load i8, ptr %src
  store i8 %byte, ptr %dst
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret ptr %to
}

define hidden ptr @memmove(ptr returned %to, ptr %from, i64 %n) #0 {
entry:
  %a = ptrtoint ptr %to to i64
  %b = ptrtoint ptr %from to i64
  %distance = sub i64 %a, %b
  %forward = icmp uge i64 %distance, %n
  br i1 %forward, label %up, label %check
up:
  %copy = call ptr @memcpy(ptr %to, ptr %from, i64 %n)
  br label %done
check:
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %done, label %down
down:
  %i = phi i64 [ %n, %check ], [ %next, %down ]
  %next = sub i64 %i, 1
  %src = getelementptr i8, ptr %from, i64 %next
  %dst = getelementptr i8, ptr %to, i64 %next
  %byte = load volatile i8, ptr %src
  store volatile i8 %byte, ptr %dst
  %more = icmp ne i64 %next, 0
  br i1 %more, label %down, label %done
done:
  ret ptr %to
}

define hidden ptr @memset(ptr returned %to, i32 %value, i64 %n) #0 {
entry:
  %byte = trunc i32 %value to i8
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %dst = getelementptr i8, ptr %to, i64 %i
  store i8 %byte, ptr %dst
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret ptr %to
}

define hidden i32 @memcmp(ptr %a, ptr %b, i64 %n) #0 {
entry:
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %same, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %step ]
  %pa = getelementptr i8, ptr %a, i64 %i
  %pb = getelementptr i8, ptr %b, i64 %i
  %x = load i8, ptr %pa
  %y = load i8, ptr %pb
  %equal = icmp eq i8 %x, %y
  br i1 %equal, label %step, label %differ
step:
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %same
differ:
  %zx = zext i8 %x to i32
  %zy = zext i8 %y to i32
  %order = sub i32 %zx, %zy
  ret i32 %order
same:
  ret i32 0
}

define hidden i32 @bcmp(ptr %a, ptr %b, i64 %n) #0 {
  %order = call i32 @memcmp(ptr %a, ptr %b, i64 %n)
  ret i32 %order
}

attributes #0 = { nounwind "no-builtins" }
)";

} // namespace

Expected<Bytes> emitBuiltins(TargetMachine &machine) {
  LLVMContext context;
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> module =
      parseAssemblyString(kBuiltins, diagnostic, context);
  if (!module)
    return createStringError("internal: " + diagnostic.getMessage());
  module->setModuleIdentifier("builtins");
  return emitObject(*module, machine, CpuTargetOptions());
}

} // namespace cpu
} // namespace nibble
