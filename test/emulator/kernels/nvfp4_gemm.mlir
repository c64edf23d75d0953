// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Complete minimal NVFP4 GEMM tile: D[128x128 f32] = A[128xK e2m1] * B[128xK e2m1]^T, UE4M3 block16 scales, BLOCK_K=256, 4-stage TMA ring,
// 128 threads, warp 0 lane-elected = TMA producer, warp 1 elected = MMA issuer, all 4 warps = epilogue. (assembles; not run: no GPU here)
// stage bytes: A 128x128B=16384, B 16384, SFA 4*512=2048, SFB 2048 = 36864 (=0x9000, multiple of 1024)
module {
  llvm.mlir.global external @dsmem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
  llvm.func @nvfp4_gemm(%ta: !llvm.ptr {nvvm.grid_constant, llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64},
                        %tb: !llvm.ptr {nvvm.grid_constant, llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64},
                        %tsa: !llvm.ptr {nvvm.grid_constant, llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64},
                        %tsb: !llvm.ptr {nvvm.grid_constant, llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64},
                        %out: !llvm.ptr, %ldo: i64, %ktiles: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>, nvvm.minctasm = 1 : i32} {
    %c0 = llvm.mlir.constant(0 : i32) : i32
    %c1 = llvm.mlir.constant(1 : i32) : i32
    %c2 = llvm.mlir.constant(2 : i32) : i32
    %c3 = llvm.mlir.constant(3 : i32) : i32
    %c4 = llvm.mlir.constant(4 : i32) : i32
    %c5 = llvm.mlir.constant(5 : i32) : i32
    %c7 = llvm.mlir.constant(7 : i32) : i32
    %c16 = llvm.mlir.constant(16 : i32) : i32
    %c31 = llvm.mlir.constant(31 : i32) : i32
    %c128 = llvm.mlir.constant(128 : i32) : i32
    %ncols = llvm.mlir.constant(256 : i32) : i32
    %stB = llvm.mlir.constant(36864 : i32) : i32
    %offB = llvm.mlir.constant(16384 : i32) : i32
    %offSA = llvm.mlir.constant(32768 : i32) : i32
    %offSB = llvm.mlir.constant(34816 : i32) : i32
    %offBar = llvm.mlir.constant(147456 : i32) : i32
    // idesc mxf4nvf4: A=B=E2M1(1)<<7,<<10 ; N>>3=16<<17 ; UE4M3 (bit23=0); M>>7=1<<27 ; K=64
    %idesc = llvm.mlir.constant(136316032 : i32) : i32   // 0x08200480
    // desc base K-major SW128: SBO 1024>>4=64<<32, version 1<<46, swizzle 2<<61
    %dhi = llvm.mlir.constant(4611756662049472512 : i64) : i64  // 0x4000404000000000
    // SF desc: no swizzle, SBO 128>>4=8<<32, version 1<<46
    %dsf = llvm.mlir.constant(70403103916032 : i64) : i64 // 0x0000400800000000
    %lomask = llvm.mlir.constant(16383 : i64) : i64
    %s4 = llvm.mlir.constant(4 : i64) : i64
    %true = llvm.mlir.constant(true) : i1
    %false = llvm.mlir.constant(false) : i1
    %sm = llvm.mlir.addressof @dsmem : !llvm.ptr<3>
    %bars = llvm.getelementptr %sm[%offBar] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8   // full[4] @0, empty[4] @32, accfull @64, tmem addr @72
    %accb = llvm.getelementptr %bars[64] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %tslot = llvm.getelementptr %bars[72] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %warp0 = llvm.lshr %tid, %c5 : i32
    // warp-uniform warp id (shfl idx 0) so ptxas sees a uniform branch
    %m1 = llvm.mlir.constant(-1 : i32) : i32
    %warp = nvvm.shfl.sync idx %m1, %warp0, %c0, %c31 : i32 -> i32
    %bx = nvvm.read.ptx.sreg.ctaid.x : i32
    %by = nvvm.read.ptx.sreg.ctaid.y : i32
    %is0 = llvm.icmp "eq" %warp, %c0 : i32
    %is1 = llvm.icmp "eq" %warp, %c1 : i32
    llvm.cond_br %is0, ^init, ^chk1
  ^init:
    %e0 = nvvm.elect.sync -> i1
    llvm.cond_br %e0, ^doinit, ^sync
  ^doinit:
    llvm.br ^initloop(%c0 : i32)
  ^initloop(%i: i32):
    %i8 = llvm.shl %i, %c3 : i32
    %fb = llvm.getelementptr %bars[%i8] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    nvvm.mbarrier.init %fb, %c1 : !llvm.ptr<3>, i32
    %in = llvm.add %i, %c1 : i32
    %nine = llvm.mlir.constant(9 : i32) : i32
    %idone = llvm.icmp "slt" %in, %nine : i32
    llvm.cond_br %idone, ^initloop(%in : i32), ^initdone
  ^initdone:
    nvvm.fence.mbarrier.init
    llvm.br ^sync
  ^chk1:
    llvm.cond_br %is1, ^talloc, ^sync
  ^talloc:
    nvvm.tcgen05.alloc %tslot, %ncols : !llvm.ptr<3>, i32
    nvvm.tcgen05.relinquish_alloc_permit
    llvm.br ^sync
  ^sync:
    nvvm.tcgen05.fence #nvvm.tcgen05_fence<before>
    nvvm.barrier0
    nvvm.tcgen05.fence #nvvm.tcgen05_fence<after>
    %tbase = llvm.load %tslot : !llvm.ptr<3> -> i32
    %tacc = llvm.inttoptr %tbase : i32 to !llvm.ptr<6>
    %sacol = llvm.add %tbase, %c128 : i32
    %sbo = llvm.add %sacol, %c16 : i32
    %tsfa = llvm.inttoptr %sacol : i32 to !llvm.ptr<6>
    %tsfb = llvm.inttoptr %sbo : i32 to !llvm.ptr<6>
    llvm.cond_br %is0, ^prod, ^notprod
  ^prod:
    %e1 = nvvm.elect.sync -> i1
    llvm.cond_br %e1, ^ploop(%c0 : i32), ^epi
  ^ploop(%k: i32):
    %pst = llvm.and %k, %c3 : i32
    %pit = llvm.lshr %k, %c2 : i32
    %ppar0 = llvm.and %pit, %c1 : i32
    %ppar = llvm.xor %ppar0, %c1 : i32
    %pst8 = llvm.shl %pst, %c3 : i32
    %pfull = llvm.getelementptr %bars[%pst8] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %pempty = llvm.getelementptr %pfull[32] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    llvm.br ^pwait
  ^pwait:
    %pw = nvvm.mbarrier.try_wait %pempty, %ppar : !llvm.ptr<3>, i32 -> i1
    llvm.cond_br %pw, ^pgo, ^pwait
  ^pgo:
    nvvm.mbarrier.arrive.expect_tx %pfull, %stB : !llvm.ptr<3>, i32
    %so = llvm.mul %pst, %stB : i32
    %pa = llvm.getelementptr %sm[%so] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %pb = llvm.getelementptr %pa[%offB] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %psa = llvm.getelementptr %pa[%offSA] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %psb = llvm.getelementptr %pa[%offSB] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %kb = llvm.mul %k, %c128 : i32        // K coordinate in bytes (UINT8 tensor map, K/2)
    %m0 = llvm.mul %bx, %c128 : i32
    %n0 = llvm.mul %by, %c128 : i32
    %ksf = llvm.mul %k, %c4 : i32         // 512B scale tiles along K: 4 per BLOCK_K=256
    nvvm.cp.async.bulk.tensor.shared.cluster.global %pa, %ta, %pfull, box[%kb, %m0] {isCTAOnly = true} : !llvm.ptr<3>, !llvm.ptr
    nvvm.cp.async.bulk.tensor.shared.cluster.global %pb, %tb, %pfull, box[%kb, %n0] {isCTAOnly = true} : !llvm.ptr<3>, !llvm.ptr
    // scales tensor map: 3-D UINT16/UINT8 [row_tiles][k_tiles][512 B] box 256 x 2*... here box [0, ksf, bx] of {512/2 x u16, 4, 1}
    nvvm.cp.async.bulk.tensor.shared.cluster.global %psa, %tsa, %pfull, box[%c0, %ksf, %bx] {isCTAOnly = true} : !llvm.ptr<3>, !llvm.ptr
    nvvm.cp.async.bulk.tensor.shared.cluster.global %psb, %tsb, %pfull, box[%c0, %ksf, %by] {isCTAOnly = true} : !llvm.ptr<3>, !llvm.ptr
    %kn = llvm.add %k, %c1 : i32
    %pc = llvm.icmp "slt" %kn, %ktiles : i32
    llvm.cond_br %pc, ^ploop(%kn : i32), ^epi
  ^notprod:
    llvm.cond_br %is1, ^mma, ^epi
  ^mma:
    %e2 = nvvm.elect.sync -> i1
    llvm.cond_br %e2, ^mloop(%c0, %false : i32, i1), ^epi
  ^mloop(%mk: i32, %acc: i1):
    %mst = llvm.and %mk, %c3 : i32
    %mit = llvm.lshr %mk, %c2 : i32
    %mpar = llvm.and %mit, %c1 : i32
    %mst8 = llvm.shl %mst, %c3 : i32
    %mfull = llvm.getelementptr %bars[%mst8] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %mempty = llvm.getelementptr %mfull[32] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    llvm.br ^mwait
  ^mwait:
    %mw = nvvm.mbarrier.try_wait %mfull, %mpar : !llvm.ptr<3>, i32 -> i1
    llvm.cond_br %mw, ^mgo, ^mwait
  ^mgo:
    nvvm.tcgen05.fence #nvvm.tcgen05_fence<after>
    %mso = llvm.mul %mst, %stB : i32
    %ma = llvm.getelementptr %sm[%mso] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %mai = llvm.ptrtoint %ma : !llvm.ptr<3> to i64
    %ash = llvm.lshr %mai, %s4 : i64
    %alo = llvm.and %ash, %lomask : i64
    %k1024 = llvm.mlir.constant(1024 : i64) : i64   // 16384>>4
    %k2048 = llvm.mlir.constant(2048 : i64) : i64   // 32768>>4
    %k2176 = llvm.mlir.constant(2176 : i64) : i64   // 34816>>4
    %adesc = llvm.or %alo, %dhi : i64
    %bdesc = llvm.add %adesc, %k1024 : i64
    %sd0 = llvm.or %alo, %dsf : i64
    %sad = llvm.add %sd0, %k2048 : i64
    %sbd = llvm.add %sd0, %k2176 : i64
    llvm.br ^cploop(%c0, %sad, %sbd : i32, i64, i64)
  ^cploop(%ci: i32, %csa: i64, %csb: i64):
    %cc = llvm.shl %ci, %c2 : i32
    %cta = llvm.add %sacol, %cc : i32
    %ctb = llvm.add %sbo, %cc : i32
    %ctap = llvm.inttoptr %cta : i32 to !llvm.ptr<6>
    %ctbp = llvm.inttoptr %ctb : i32 to !llvm.ptr<6>
    nvvm.tcgen05.cp %ctap, %csa {shape = #nvvm.tcgen05_cp_shape<shape_32x128b>, multicast = #nvvm.tcgen05_cp_multicast<warpx4>}
    nvvm.tcgen05.cp %ctbp, %csb {shape = #nvvm.tcgen05_cp_shape<shape_32x128b>, multicast = #nvvm.tcgen05_cp_multicast<warpx4>}
    %k32 = llvm.mlir.constant(32 : i64) : i64   // 512>>4
    %csan = llvm.add %csa, %k32 : i64
    %csbn = llvm.add %csb, %k32 : i64
    %cin = llvm.add %ci, %c1 : i32
    %ccond = llvm.icmp "slt" %cin, %c4 : i32
    llvm.cond_br %ccond, ^cploop(%cin, %csan, %csbn : i32, i64, i64), ^mmaloop(%c0, %adesc, %bdesc, %acc : i32, i64, i64, i1) {loop_annotation = #llvm.loop_annotation<unroll = <full = true>>}
  ^mmaloop(%mi: i32, %ad: i64, %bd: i64, %en: i1):
    %mc = llvm.shl %mi, %c2 : i32
    %sat = llvm.add %sacol, %mc : i32
    %sbt = llvm.add %sbo, %mc : i32
    %satp = llvm.inttoptr %sat : i32 to !llvm.ptr<6>
    %sbtp = llvm.inttoptr %sbt : i32 to !llvm.ptr<6>
    nvvm.tcgen05.mma.block_scale %tacc, %ad, %bd, %idesc, %en, %satp, %sbtp
      {kind = #nvvm.block_scale_kind<mxf4nvf4>, ctaGroup = #nvvm.cta_group<cta_1>, blockScale = #nvvm.tcgen05_mma_block_scale<block16>}
      : (!llvm.ptr<6>, i64, i64, i32, i1, !llvm.ptr<6>, !llvm.ptr<6>)
    %k2 = llvm.mlir.constant(2 : i64) : i64     // +32 bytes
    %adn = llvm.add %ad, %k2 : i64
    %bdn = llvm.add %bd, %k2 : i64
    %min = llvm.add %mi, %c1 : i32
    %mcond = llvm.icmp "slt" %min, %c4 : i32
    llvm.cond_br %mcond, ^mmaloop(%min, %adn, %bdn, %true : i32, i64, i64, i1), ^mcommit {loop_annotation = #llvm.loop_annotation<unroll = <full = true>>}
  ^mcommit:
    nvvm.tcgen05.commit %mempty : !llvm.ptr<3>
    %mkn = llvm.add %mk, %c1 : i32
    %mkc = llvm.icmp "slt" %mkn, %ktiles : i32
    llvm.cond_br %mkc, ^mloop(%mkn, %true : i32, i1), ^mdone
  ^mdone:
    nvvm.tcgen05.commit %accb : !llvm.ptr<3>
    llvm.br ^epi
  ^epi:
    nvvm.bar.warp.sync %m1 : i32
    llvm.br ^ewait
  ^ewait:
    %ew = nvvm.mbarrier.try_wait %accb, %c0 : !llvm.ptr<3>, i32 -> i1
    llvm.cond_br %ew, ^estart, ^ewait
  ^estart:
    nvvm.tcgen05.fence #nvvm.tcgen05_fence<after>
    %lrow = llvm.shl %warp, %c5 : i32
    %lsh = llvm.shl %lrow, %c16 : i32
    %tl0 = llvm.add %tbase, %lsh : i32
    %row = llvm.mul %bx, %c128 : i32
    %row2 = llvm.add %row, %tid : i32
    %row64 = llvm.zext %row2 : i32 to i64
    %roff = llvm.mul %row64, %ldo : i64
    %n064 = llvm.mul %by, %c128 : i32
    %n0z = llvm.zext %n064 : i32 to i64
    %eo = llvm.add %roff, %n0z : i64
    %orow = llvm.getelementptr %out[%eo] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.br ^eloop(%c0 : i32)
  ^eloop(%ec: i32):
    %tl1 = llvm.add %tl0, %ec : i32
    %tlp = llvm.inttoptr %tl1 : i32 to !llvm.ptr<6>
    %v = nvvm.tcgen05.ld %tlp {shape = #nvvm.tcgen05_ldst_shape<shape_32x32b>} : vector<32xi32>
    nvvm.tcgen05.wait #nvvm.tcgen05_wait<load>
    %vf = llvm.bitcast %v : vector<32xi32> to vector<32xf32>
    %og = llvm.addrspacecast %orow : !llvm.ptr to !llvm.ptr<1>
    %op = llvm.getelementptr %og[%ec] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    llvm.store %vf, %op {alignment = 32 : i64} : vector<32xf32>, !llvm.ptr<1>
    %c32 = llvm.mlir.constant(32 : i32) : i32
    %ecn = llvm.add %ec, %c32 : i32
    %ecc = llvm.icmp "slt" %ecn, %c128 : i32
    llvm.cond_br %ecc, ^eloop(%ecn : i32), ^edone
  ^edone:
    nvvm.tcgen05.fence #nvvm.tcgen05_fence<before>
    nvvm.barrier0
    llvm.cond_br %is1, ^dealloc, ^ret
  ^dealloc:
    nvvm.tcgen05.fence #nvvm.tcgen05_fence<after>
    nvvm.tcgen05.dealloc %tacc, %ncols : !llvm.ptr<6>, i32
    llvm.br ^ret
  ^ret:
    llvm.return
  }
}
