// What needs more than allowed is refused with the launch, the buffers and what to do.
// RUN: nibble-opt %s --split-input-file --plan-memory --check-memory=max-memory=5119 --verify-diagnostics
// RUN: nibble-opt %s --split-input-file --plan-memory --check-memory=max-memory=12544 -o /dev/null

// 1024 of input and output, 4096 of arena.
// expected-error @below {{memory of 5 KiB is needed, --max-memory allows 5 KiB (1 bytes less): constants 0 bytes, arena 4 KiB, states 0 bytes, inputs 512 bytes, outputs 512 bytes}}
// expected-note @below {{the arena is fullest in layer 'up' (k) of 'main', 4 KiB live: 2 KiB of layer 'in', 2 KiB of layer 'up'}}
// expected-note @below {{to do: bind smaller shapes with --shape}}
module {
  func.func private @widen(%x: tensor<128xf32>) -> tensor<512xf32>
  func.func private @k(%x: tensor<512xf32>) -> tensor<512xf32>
  func.func private @narrow(%x: tensor<512xf32>) -> tensor<128xf32>
  func.func @main(%x: tensor<128xf32>) -> tensor<128xf32> attributes {nibble.entry} {
    %a = exec.launch @widen(%x) layer "in" kind "k" : (tensor<128xf32>) -> tensor<512xf32>
    %b = exec.launch @k(%a) layer "up" kind "k" : (tensor<512xf32>) -> tensor<512xf32>
    %c = exec.launch @narrow(%b) layer "out" kind "k" : (tensor<512xf32>) -> tensor<128xf32>
    return %c : tensor<128xf32>
  }
}

// -----
// Equal constants count once, two entry points share the states.
// expected-error @below {{memory of 12.2 KiB is needed, --max-memory allows 5 KiB (7.25 KiB less): constants 8 KiB, arena 0 bytes, states 256 bytes, inputs 2 KiB, outputs 2 KiB}}
// expected-note @below {{largest of 1 constants: 8 KiB 'w'}}
// expected-note @below {{state 's' is 'tensor<64xf32>'}}
// expected-note @below {{to do: quantize the weights to fewer bits}}
module {
  nq.state @s : tensor<64xf32>
  func.func private @k(%x: tensor<256xf32>, %w: tensor<2048xf32>, %s: tensor<64xf32>) -> tensor<256xf32>
  func.func @one(%x: tensor<256xf32>) -> tensor<256xf32> attributes {nibble.entry} {
    %w = arith.constant dense<1.0> : tensor<2048xf32> loc("w")
    %s = nq.state_read @s : tensor<64xf32>
    %y = exec.launch @k(%x, %w, %s) layer "y" kind "k" : (tensor<256xf32>, tensor<2048xf32>, tensor<64xf32>) -> tensor<256xf32>
    return %y : tensor<256xf32>
  }
  func.func @two(%x: tensor<256xf32>) -> tensor<256xf32> attributes {nibble.entry} {
    %w = arith.constant dense<1.0> : tensor<2048xf32> loc("w")
    %s = nq.state_read @s : tensor<64xf32>
    %y = exec.launch @k(%x, %w, %s) layer "y" kind "k" : (tensor<256xf32>, tensor<2048xf32>, tensor<64xf32>) -> tensor<256xf32>
    return %y : tensor<256xf32>
  }
}
